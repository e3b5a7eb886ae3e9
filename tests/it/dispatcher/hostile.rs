//! Bytes of an instance are input: the dispatcher stays small with any of them, keeps working, and ends the task.

mod floods;
mod gone;
mod instance;
mod memory;
mod names;
mod outputs;
