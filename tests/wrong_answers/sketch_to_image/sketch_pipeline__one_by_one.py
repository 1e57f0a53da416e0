# fails with: one after the other
def sketch_pipeline(photos, sketches, captions, read_pair, batch_size=8, shuffle=1000, seed=0):
    data = tf.data.Dataset.from_tensor_slices((list(photos), list(sketches), list(captions)))
    data = data.shuffle(shuffle, seed=seed).map(read_pair)
    return data.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
