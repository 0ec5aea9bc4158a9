from s2rctl.cli.main import main


def test_a_phase_that_the_system_does_not_have_names_those_that_it_has(capsys, tmp_path):
    def call(profile: str, phase: str) -> tuple[int, str]:
        code = main(["train-teacher", "-p", profile, "--phase", phase, "--store", str(tmp_path)])
        return code, capsys.readouterr().err

    code, said = call("aloha-smoke", "insrt")
    assert code == 2 and "no teacher 'insrt'" in said and "--phase pick or insert" in said
    code, said = call("xarm7-smoke", "pick")
    assert code == 2 and "has no stage" in said and "profile list" in said
