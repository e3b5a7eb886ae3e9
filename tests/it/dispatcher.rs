//! Tests of the room `dispatcher`.
