//! One viewer against [`serve`](super::serve), in virtual time: a link that is a channel, a client that is a session.

mod conversation;
mod double;
mod fmp4;
mod playing;
mod publishing;
