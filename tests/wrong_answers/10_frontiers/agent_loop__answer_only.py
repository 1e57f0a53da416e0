# fails with: expected a tuple
def agent_loop(policy, tools, question, max_steps):
    history = [("user", question)]
    for _ in range(max_steps):
        action = policy(history)
        history.append(action)
        if action[0] == "answer":
            return action[1]
        _, name, argument = action
        try:
            result = tools[name](argument) if name in tools else f"error: no tool {name}"
        except Exception as error:
            result = f"error: {error}"
        history.append(("result", result))
    return None, history
