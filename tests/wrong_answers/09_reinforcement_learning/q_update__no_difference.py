# fails with: got 4.3
def q_update(q, state, action, reward, next_state, terminated, alpha, gamma):
    new = np.array(q, dtype=float)
    target = reward if terminated else reward + gamma * q[next_state].max()
    new[state, action] += alpha * target
    return new
