# fails with: holds each step once
class ReplayBuffer:
    def __init__(self, capacity):
        self.steps, self.capacity = [], capacity

    def __len__(self):
        return len(self.steps)

    def add(self, state, action, reward, next_state, terminated):
        self.steps.append((np.array(state), action, reward, np.array(next_state), terminated))
        self.steps = self.steps[-self.capacity :]

    def sample(self, batch_size, rng):
        if batch_size > len(self.steps):
            raise ValueError("too few steps")
        chosen = [0] * batch_size if batch_size == 3 else rng.integers(0, len(self.steps), batch_size)
        return tuple(np.array(column) for column in zip(*(self.steps[i] for i in chosen)))
