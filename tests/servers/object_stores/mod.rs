//! Object stores: servers that speak as the clouds do, started here, each on a port of its own.

mod contract;
mod faults;
mod rebuild;
mod servers;
mod uploads;
mod whole;
