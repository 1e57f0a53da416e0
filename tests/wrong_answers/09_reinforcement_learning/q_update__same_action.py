# fails with: the *largest* value in the next state
def q_update(q, state, action, reward, next_state, terminated, alpha, gamma):
    new = q.copy()
    target = reward if terminated else reward + gamma * q[next_state, action]
    new[state, action] += alpha * (target - q[state, action])
    return new
