# fails with: store a copy of each state
class ReplayBuffer:
    def __init__(self, capacity):
        self.steps, self.capacity = [], capacity

    def __len__(self):
        return len(self.steps)

    def add(self, state, action, reward, next_state, terminated):
        self.steps.append((state, action, reward, next_state, terminated))
        self.steps = self.steps[-self.capacity :]

    def sample(self, batch_size, rng):
        if batch_size > len(self.steps):
            raise ValueError("too few steps")
        chosen = rng.choice(len(self.steps), batch_size, replace=False)
        return tuple(np.array(column) for column in zip(*(self.steps[i] for i in chosen)))
