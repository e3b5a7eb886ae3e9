//! Tests of the room `api`, over real HTTP and a real Redis: the document to the letter, and the bad-input catalogue of
//! safety.md §2 as tables.

mod auth;
mod batches;
mod config;
mod durability;
mod files;
mod flows;
mod http;
mod instances;
mod json;
mod large_bodies;
mod leavers;
mod lists;
mod long_lists;
mod nodes;
mod objects;
mod openapi;
mod outage;
mod params;
mod private;
mod publishing;
mod repeats;
mod retry;
mod server;
mod space;
mod tasks;
mod thumbnails;
mod upload;
mod urls;
mod waiting;
