# fails with: the result has to be floats
def q_update(q, state, action, reward, next_state, terminated, alpha, gamma):
    new = q.copy()
    target = reward if terminated else reward + gamma * q[next_state].max()
    new[state, action] = q[state, action] + alpha * (target - q[state, action])
    return new
