//! Tests of the room `embedded`.
