# fails with: ids follow the sorted order
def vocabulary(corpus):
    known = list(dict.fromkeys(corpus))
    number = {character: i for i, character in enumerate(known)}

    def encode(string):
        for character in string:
            if character not in number:
                raise ValueError(f"the character {character!r} is not in the vocabulary")
        return np.array([number[character] for character in string], dtype="int32")

    def decode(numbers):
        return "".join(known[i] for i in numbers)

    return encode, decode
