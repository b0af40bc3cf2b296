//! The protocol family of nginx-push-stream-module 0.6.0 (push-stream.md).
//!
//! | module | content |
//! |---|---|
//! | [`publish`], [`subscribe`], [`statistics`] | the endpoints |
//! | [`channels_path`], [`cursor`] | which channels a request names, and from where it resumes |
//! | [`render`], [`info`], [`summary`] | bodies: messages, channel infos, statistics |
//! | [`explain`], [`cors`] | rejections and cross-origin headers |
//! | `permission` | what clients may do with channels |

pub mod channels_path;
pub mod cors;
pub mod cursor;
pub mod explain;
mod id_escape;
pub mod info;
mod permission;
pub mod publish;
pub mod render;
pub mod statistics;
pub mod subscribe;
pub mod summary;
