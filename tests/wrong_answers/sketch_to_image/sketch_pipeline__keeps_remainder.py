# fails with: drop the incomplete one
def sketch_pipeline(photos, sketches, captions, read_pair, batch_size=8, shuffle=1000, seed=0):
    data = tf.data.Dataset.from_tensor_slices((list(photos), list(sketches), list(captions))).shuffle(
        shuffle, seed=seed
    )
    return data.map(read_pair, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)
