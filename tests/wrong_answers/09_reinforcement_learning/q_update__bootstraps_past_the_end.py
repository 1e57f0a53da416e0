# fails with: if the episode terminates, y = r = 1
def q_update(q, state, action, reward, next_state, terminated, alpha, gamma):
    new = q.copy()
    new[state, action] += alpha * (reward + gamma * q[next_state].max() - q[state, action])
    return new
