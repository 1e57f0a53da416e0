# fails with: its target is its reward, 1; got 6
def dqn_target(rewards, next_q, terminated, gamma, next_q_online=None):
    chosen = (next_q if next_q_online is None else next_q_online).argmax(axis=1)
    return rewards + gamma * next_q[np.arange(len(next_q)), chosen]
