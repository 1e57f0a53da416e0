# fails with: an unknown tool: got the entry
def agent_loop(policy, tools, question, max_steps):
    history = [("user", question)]
    for _ in range(max_steps):
        action = policy(history)
        history.append(action)
        if action[0] == "answer":
            return action[1], history
        _, name, argument = action
        try:
            result = tools[name](argument)
        except Exception as error:
            result = f"error: {error}"
        history.append(("result", result))
    return None, history
