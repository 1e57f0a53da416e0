# fails with: must raise ValueError, got KeyError
def vocabulary(corpus):
    known = sorted(set(corpus))
    number = {character: i for i, character in enumerate(known)}

    def encode(string):
        return np.array([number[character] for character in string], dtype="int32")

    def decode(numbers):
        return "".join(known[i] for i in numbers)

    return encode, decode
