package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** A stand-in that computes nothing: it keeps what it is fed, and answers what it was told to. */
public class Interpreter implements AutoCloseable {
  public static final List<byte[]> fed = new ArrayList<>();
  public static final List<byte[]> answers = new ArrayList<>();

  public static class Options {
    public Options setNumThreads(int threads) {
      return this;
    }
  }

  public Interpreter(MappedByteBuffer model, Options options) {}

  public void run(Object input, Object output) {
    ByteBuffer given = (ByteBuffer) input;
    byte[] bytes = new byte[given.remaining()];
    given.get(bytes);
    fed.add(bytes);
    if (!answers.isEmpty()) {
      ((ByteBuffer) output).put(answers.remove(0));
    }
  }

  @Override
  public void close() {}
}
