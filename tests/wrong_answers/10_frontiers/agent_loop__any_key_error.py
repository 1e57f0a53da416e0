# fails with: a tool that exists and raises a KeyError
def agent_loop(policy, tools, question, max_steps):
    history = [("user", question)]
    for _ in range(max_steps):
        action = policy(history)
        history.append(action)
        if action[0] == "answer":
            return action[1], history
        try:
            result = tools[action[1]](action[2])
        except KeyError:
            result = f"error: no tool {action[1]}"
        except Exception as error:
            result = f"error: {error}"
        history.append(("result", result))
    return None, history
