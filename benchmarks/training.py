"""Environment steps per second of teacher training: environment alone, and with the learner, on this machine."""

import os
import time

_WORLDS = 512
_UNROLL = 20
_REPEATS = 5


def main() -> None:
    """Measure pick and insertion and print one row for each."""
    print(f"{os.cpu_count()} CPU cores; {_WORLDS} worlds, unroll {_UNROLL}, best of {_REPEATS}")
    print(f"{'task':<10} {'environment':<14} {'imitation, acting':<18} {'PPO':<14} {'per CPU second: env':<20} PPO")
    for task in ("pick", "insertion"):
        _case(task)


def _case(task: str) -> None:
    import jax
    import jax.numpy as jnp

    from s2rctl.env import stepping
    from s2rctl.env.build import make_env, make_model
    from s2rctl.experts import EXPERTS
    from s2rctl.learning import networks
    from s2rctl.learning.ppo import PpoTrainer
    from s2rctl.schema.load import load_profile

    profile = load_profile("aloha").profile
    phase = profile.teacher.pick if task == "pick" else profile.teacher.insert  # type: ignore[union-attr]
    env = make_env(profile, task, _WORLDS, seed=0, images=False)
    settings = networks.teacher_settings(env.actor_size, env.action_size, phase.network)
    ppo = phase.ppo.model_copy(update={"worlds": _WORLDS, "unroll": _UNROLL})
    trainer = PpoTrainer(env, settings, phase.network.value, ppo, warm_started=False)
    expert = EXPERTS.load(task)(make_model(profile, task))
    label = jax.jit(lambda state: jax.vmap(expert)(env.world(state)))
    state = trainer.start(jax.random.key(0))
    still = jnp.zeros((_WORLDS, env.action_size))

    def alone() -> None:
        worlds = state.env
        for _ in range(_UNROLL):
            worlds, _result = stepping.step(env, worlds, still)
        jax.block_until_ready(worlds)

    def labelled() -> None:
        worlds = state.env
        for _ in range(_UNROLL):
            worlds, _result = stepping.step(env, worlds, label(worlds))
        jax.block_until_ready(worlds)

    def learning() -> None:
        jax.block_until_ready(trainer.iterate(state))

    (env_rate, env_cpu), (label_rate, _), (ppo_rate, ppo_cpu) = (_rate(f) for f in (alone, labelled, learning))
    print(
        f"{task:<10} {env_rate:<14.0f} {label_rate:<18.0f} {ppo_rate:<14.0f} {env_cpu:<20.0f} {ppo_cpu:.0f}", flush=True
    )


def _rate(work) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Return environment steps per second of wall clock and of CPU time, each at its best."""
    work()
    wall, cpu = [], []
    for _ in range(_REPEATS):
        begun, spent = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - spent)
    steps = _WORLDS * _UNROLL
    return steps / min(wall), steps / min(cpu)


if __name__ == "__main__":
    main()
