# fails with: your function changed the rewards
def dqn_target(rewards, next_q, terminated, gamma, next_q_online=None):
    chosen = (next_q if next_q_online is None else next_q_online).argmax(axis=1)
    rewards += np.where(terminated, 0, gamma * next_q[np.arange(len(next_q)), chosen])
    return rewards
