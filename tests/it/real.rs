//! Tests of the room `real`.
