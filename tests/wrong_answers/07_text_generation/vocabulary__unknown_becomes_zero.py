# fails with: raise a ValueError instead of inventing an id
def vocabulary(corpus):
    known = sorted(set(corpus))
    number = {character: i for i, character in enumerate(known)}

    def encode(string):
        return np.array([number.get(character, 0) for character in string], dtype="int32")

    def decode(numbers):
        return "".join(known[i] for i in numbers)

    return encode, decode
