//! Tests of the room `ws`.
