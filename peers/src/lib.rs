//! The lab's protocol on other libraries, each as its users would write it.

#![forbid(unsafe_code)]
