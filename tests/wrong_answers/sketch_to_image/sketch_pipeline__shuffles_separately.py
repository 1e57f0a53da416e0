# fails with: do not belong together
def sketch_pipeline(photos, sketches, captions, read_pair, batch_size=8, shuffle=1000, seed=0):
    parts = [
        tf.data.Dataset.from_tensor_slices(list(p)).shuffle(shuffle, seed=seed + i)
        for i, p in enumerate((photos, sketches, captions))
    ]
    return tf.data.Dataset.zip(*parts).map(read_pair).batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
