"""A strict emulator of Google Cloud Storage, and the tests that prove its promises with the real clients.

One process serves the JSON API (google-cloud-storage, gcsfs, pyarrow) and the XML API (object_store: delta-rs, obstore).
What it does not emulate it refuses with 501, so that no client is told that something happened which did not.

    folder/
      <bucket>/<object path>          every object as a plain file, replaced in one step (see `names` for odd names)
      .emulator/metadata.sqlite       generations, checksums, content types, buckets
      .emulator/uploads/              bodies on their way in
"""
