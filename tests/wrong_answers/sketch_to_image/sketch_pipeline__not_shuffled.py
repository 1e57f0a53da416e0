# fails with: in the order of the files
def sketch_pipeline(photos, sketches, captions, read_pair, batch_size=8, shuffle=1000, seed=0):
    data = tf.data.Dataset.from_tensor_slices((list(photos), list(sketches), list(captions))).map(read_pair)
    return data.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
