# fails with: decode([3, 1, 2]) is 'nab'
def vocabulary(corpus):
    known = sorted(set(corpus))
    number = {character: i for i, character in enumerate(known)}

    def encode(string):
        for character in string:
            if character not in number:
                raise ValueError(f"the character {character!r} is not in the vocabulary")
        return np.array([number[character] for character in string], dtype="int32")

    def decode(numbers):
        return [known[i] for i in numbers]

    return encode, decode
