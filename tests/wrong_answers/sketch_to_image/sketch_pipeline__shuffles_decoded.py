# fails with: shuffle the paths before they are read
def sketch_pipeline(photos, sketches, captions, read_pair, batch_size=8, shuffle=1000, seed=0):
    data = tf.data.Dataset.from_tensor_slices((list(photos), list(sketches), list(captions)))
    data = data.map(read_pair, num_parallel_calls=tf.data.AUTOTUNE).shuffle(shuffle, seed=seed)
    return data.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
