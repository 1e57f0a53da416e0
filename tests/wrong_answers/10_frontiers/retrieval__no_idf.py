# fails with: check idf and the cosine
def retrieval(query, documents, k):
    words = sorted({word for document in documents for word in document.lower().split()})
    counts = np.array([[text.lower().split().count(word) for word in words] for text in [*documents, query]], float)
    document_frequency = (counts[:-1] > 0).sum(axis=0)
    vectors = counts * 1.0
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosine = (vectors[:-1] @ vectors[-1]).round(12)
    return sorted(range(len(documents)), key=lambda i: -cosine[i])[:k]
