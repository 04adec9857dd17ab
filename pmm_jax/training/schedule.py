"""Schedule of a run: which steps log, evaluate and save."""

from dataclasses import dataclass

from pmm_jax.config import TrainConfig


@dataclass(frozen=True)
class RunSchedule:
    """Schedule of a run; steps are numbered from 1."""

    train: TrainConfig
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.train.epochs * self.steps_per_epoch

    def epoch(self, number: int) -> int:
        """The epoch that a step belongs to, from 1."""
        return (number - 1) // self.steps_per_epoch + 1

    def ends_epoch(self, number: int) -> bool:
        """True for the last step of an epoch."""
        return number % self.steps_per_epoch == 0

    def should_log(self, number: int) -> bool:
        """True every log_every steps of an epoch and at its end, so that no mean spans two."""
        within = (number - 1) % self.steps_per_epoch + 1
        return within % self.train.log_every == 0 or self.ends_epoch(number)

    def steps_at_once(self, number: int, length: int) -> range:
        """The steps to do in one call from `number` on: `length`, or 1 where a line is due sooner.

        Only two lengths occur, so only two programs are compiled.
        """
        steps = range(number, number + length)
        whole = steps[-1] <= self.steps and not any(self.should_log(n) for n in steps[:-1])
        return steps if whole else range(number, number + 1)

    def should_eval(self, number: int) -> bool:
        """True at the end of every evaluate_every-th epoch and of the last."""
        return self._due(number, self.train.evaluate_every)

    def should_save(self, number: int) -> bool:
        """True at the end of every checkpoint_every-th epoch, and wherever it evaluates."""
        return self._due(number, self.train.checkpoint_every) or self.should_eval(number)

    def _due(self, number: int, every: int) -> bool:
        if not self.ends_epoch(number):
            return False
        return number == self.steps or (every > 0 and self.epoch(number) % every == 0)
