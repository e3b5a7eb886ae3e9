//! Tests of the room `end_to_end`.
