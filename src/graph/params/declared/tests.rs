//! Declarations: read, published, met by params, told as a schema.
