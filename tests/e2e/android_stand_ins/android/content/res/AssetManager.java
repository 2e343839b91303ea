package android.content.res;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

/** A stand-in. */
public class AssetManager {
  private final String folder;

  public AssetManager(String folder) {
    this.folder = folder;
  }

  public InputStream open(String name) throws IOException {
    return new FileInputStream(new File(folder, name));
  }

  public AssetFileDescriptor openFd(String name) throws IOException {
    return new AssetFileDescriptor(new File(folder, name));
  }
}
