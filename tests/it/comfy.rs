//! Tests of the room `comfy`.
