"""Control steps per second of teacher training with its learner, of its environment and of raw ``mujoco.batch``.

All three in one run, with the profile's own worlds, unroll, networks and passes, from the same spread-out episodes and
under actions of the same spread.
"""

import os
from typing import Any

from benchmarks.physics import cpu, interleaved, raw

_PHASES = {"pick": "pick", "insertion": "insert"}


def main() -> None:
    """Measure pick and insertion and print one row for each."""
    print(f"CPU: {cpu()}, {os.cpu_count()} cores; k control steps/s, medians of interleaved repeats;")
    print("shares of raw physics stepping by the clock and (in brackets) by CPU time")
    print(f"{'task':<10} {'worlds':>6} {'raw':>6} {'env':>6} {'PPO':>6}   {'env / raw':<16} PPO / raw")
    for task in _PHASES:
        print(_case(task), flush=True)


def _case(task: str) -> str:
    import jax
    import numpy as np

    from s2rctl.env import stepping
    from s2rctl.env.build import make_env
    from s2rctl.learning.teacher import networks
    from s2rctl.learning.teacher.ppo import PpoTrainer
    from s2rctl.schema.learning import Teacher
    from s2rctl.schema.load import load_profile

    profile = load_profile("aloha").profile
    phase = getattr(profile.section("teacher", Teacher), _PHASES[task])
    ppo = phase.ppo
    env = make_env(profile, task, ppo.worlds, seed=0, images=False)
    settings = networks.teacher_settings(env.actor_size, env.action_size, phase.network)
    trainer = PpoTrainer(env, settings, phase.network.value, ppo, warm_started=phase.warm_start.rounds > 0)
    state = trainer.start(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), ppo.unroll)
    actions = [jax.random.uniform(key, (ppo.worlds, env.action_size), minval=-1.0) for key in keys]

    def unroll() -> list[Any]:
        worlds, ctrls = state.env, []
        for action in actions:
            worlds, _ = stepping.step(env, worlds, action)
            ctrls.append(worlds.physics.ctrl)
        return [jax.block_until_ready(ctrl) for ctrl in ctrls]

    bare = raw(env, state.env.physics, np.stack(unroll()).astype(np.float64))
    wall, cpu_time = interleaved(
        (lambda: bare(True), unroll, lambda: jax.block_until_ready(trainer.iterate(state))),
    )
    rate = [f"{ppo.worlds * ppo.unroll / t / 1e3:.1f}" for t in wall]
    share = [f"{100 * wall[0] / wall[i]:.0f} % ({100 * cpu_time[0] / cpu_time[i]:.0f} %)" for i in (1, 2)]
    return f"{task:<10} {ppo.worlds:>6} {rate[0]:>6} {rate[1]:>6} {rate[2]:>6}   {share[0]:<16} {share[1]}"


if __name__ == "__main__":
    main()
