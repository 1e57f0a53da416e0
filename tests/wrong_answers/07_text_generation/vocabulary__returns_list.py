# fails with: expected an array of shape (3,)
def vocabulary(corpus):
    known = sorted(set(corpus))
    number = {character: i for i, character in enumerate(known)}

    def encode(string):
        for character in string:
            if character not in number:
                raise ValueError(f"the character {character!r} is not in the vocabulary")
        return [number[character] for character in string]

    def decode(numbers):
        return "".join(known[i] for i in numbers)

    return encode, decode
