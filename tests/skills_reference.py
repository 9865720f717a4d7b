"""The skills kernel once more, slowly and plainly: lists of episodes, float32 tables, one look-up at a time."""

import numpy as np

MASK = 2**64 - 1


class Chance:
    """The kernel's random stream, from its published description: SplitMix64."""

    def __init__(self, state, gap, epsilon):
        self.state, self.gap, self.epsilon = int(state), int(gap), epsilon

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        bits = self.state
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
        return bits ^ (bits >> 31)

    def below(self, count):
        return ((self.bits() >> 32) * count) >> 32

    def next_gap(self):
        uniform = ((self.bits() >> 11) + 0.5) * 2.0**-53
        self.gap = int(np.log(uniform) / np.log1p(-self.epsilon))


def softmax(logits):
    exps = np.exp(logits - logits.max())
    return exps / exps.sum()


def entropy(probs):
    return -(probs * np.log(probs)).sum()


class Learner:
    """Tables, and one iteration at a time."""

    def __init__(self, tables, config, dynamics, reward):
        self.q, self.bonus_q, self.logits = (table.copy() for table in (tables.q, tables.bonus_q, tables.logits))
        self.config, self.dynamics, self.reward = config, dynamics, reward

    def iterate(self, chance, taken):
        """One iteration; among actions that are equally good but for rounding, those `taken` by the kernel."""
        config = self.config
        skills = [chance.below(config.skills) for _ in range(config.batch)]
        states = [[0] for _ in skills]
        actions = [[] for _ in skills]
        # Step by step over all episodes: the order in which the kernel draws its chance.
        for t in range(config.steps):
            for episode, (z, path, acts) in enumerate(zip(skills, states, actions, strict=True)):
                s = path[-1]
                values = self.q[z, s] + config.disdain * self.bonus_q[z, s]
                a = int(values.argmax())
                if values.max() - values[taken[t, episode]] < 1e-4:
                    a = int(taken[t, episode])
                if chance.gap == 0:
                    a = chance.below(5)
                    chance.next_gap()
                else:
                    chance.gap -= 1
                acts.append(a)
                path.append(int(self.dynamics[s, a]))
        q_step, bonus_step, logits_step = (np.zeros_like(table) for table in (self.q, self.bonus_q, self.logits))
        for z, path, acts in zip(skills, states, actions, strict=True):
            probs = np.array([softmax(member[path[-1]]) for member in self.logits])
            mean = probs.mean(0)
            reward = float(self.reward(np.log(mean), np.int64(z), 1 / config.skills))
            self.descend(self.q, q_step, z, path, acts, reward)
            if config.disdain:
                bonus = entropy(mean) - np.mean([entropy(each) for each in probs])
                self.descend(self.bonus_q, bonus_step, z, path, acts, bonus)
            if path[-1] != 0:
                onehot = np.eye(config.skills, dtype=np.float32)[z]
                logits_step[:, path[-1]] -= (probs - onehot) / config.batch / config.ensemble
        self.q += config.learning_rate * q_step
        self.bonus_q += config.learning_rate * bonus_step
        self.logits += config.learning_rate * config.discriminator_rate * logits_step
        return np.array(states).T

    def descend(self, q, step, z, path, acts, paid):
        """Add an episode's part of minus the gradient of the mean over episodes of sum_t (Q - G_t)^2."""
        config = self.config
        returns = paid
        for t in reversed(range(config.steps)):
            if t < config.steps - 1:
                s = path[t + 1]
                best = int((self.q[z, s] + config.disdain * self.bonus_q[z, s]).argmax())
                returns = config.discount * ((1 - config.trace) * q[z, s, best] + config.trace * returns)
            step[z, path[t], acts[t]] += 2 * (returns - q[z, path[t], acts[t]]) / config.batch
