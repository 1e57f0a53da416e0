# fails with: the policy is asked three times
def agent_loop(policy, tools, question, max_steps):
    history = [("user", question)]
    while len(history) < 100:
        action = policy(history)
        history.append(action)
        if action[0] == "answer":
            return action[1], history
        _, name, argument = action
        try:
            result = tools[name](argument) if name in tools else f"error: no tool {name}"
        except Exception as error:
            result = f"error: {error}"
        history.append(("result", result))
    return None, history
