# fails with: expected the history
def agent_loop(policy, tools, question, max_steps):
    history = [("user", question)]
    for _ in range(max_steps):
        action = policy(history)
        if action[0] == "answer":
            return action[1], history
        history.append(action)
        _, name, argument = action
        try:
            result = tools[name](argument) if name in tools else f"error: no tool {name}"
        except Exception as error:
            result = f"error: {error}"
        history.append(("result", result))
    return None, history
