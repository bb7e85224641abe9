//! An array for tests: answers commands, and writes down which were sent.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::{Answer, Channel, Command};
use crate::scsi::sense::Sense;

/// What each path's device answers, by the path's address.
#[derive(Debug, Clone, Default)]
pub(super) struct Array(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    pages: HashMap<(String, u8), Vec<u8>>,
    inquiry: HashMap<String, Vec<u8>>,
    groups: Vec<u8>,
    groups_through: HashMap<String, Vec<u8>>,
    extended: bool,
    attentions: usize,
    broken: Option<io::ErrorKind>,
    sent: Vec<(String, Command)>,
}

impl Array {
    pub(super) fn page(&self, address: &str, page: &[u8]) -> &Self {
        let key = (address.to_owned(), page[1]);
        self.0.borrow_mut().pages.insert(key, page.to_vec());
        self
    }

    pub(super) fn inquiry(&self, address: &str, data: &[u8]) -> &Self {
        let data = data.to_vec();
        self.0.borrow_mut().inquiry.insert(address.to_owned(), data);
        self
    }

    /// The list of port groups without the extended header, and whether it knows that one.
    pub(super) fn groups(&self, data: &[u8], extended: bool) -> &Self {
        let mut inner = self.0.borrow_mut();
        (inner.groups, inner.extended) = (data.to_vec(), extended);
        drop(inner);
        self
    }

    /// The list of port groups as the port behind one path has it.
    pub(super) fn groups_through(&self, address: &str, data: &[u8]) -> &Self {
        let data = data.to_vec();
        let mut inner = self.0.borrow_mut();
        inner.groups_through.insert(address.to_owned(), data);
        drop(inner);
        self
    }

    /// So many unit attentions wait.
    pub(super) fn attentions(&self, count: usize) -> &Self {
        self.0.borrow_mut().attentions = count;
        self
    }

    /// From now on no command is carried.
    pub(super) fn breaks(&self, kind: io::ErrorKind) {
        self.0.borrow_mut().broken = Some(kind);
    }

    /// The commands that were sent so far, with the address of their path.
    pub(super) fn sent(&self) -> Vec<(String, Command)> {
        self.0.borrow().sent.clone()
    }

    pub(super) fn channel(&self, address: &str) -> Box<dyn Channel> {
        Box::new(Way(self.clone(), address.to_owned()))
    }
}

struct Way(Array, String);

impl Channel for Way {
    fn send(&mut self, command: &Command) -> io::Result<Answer> {
        let mut inner = self.0.0.borrow_mut();
        if let Some(kind) = inner.broken {
            return Err(kind.into());
        }
        inner.sent.push((self.1.clone(), *command));
        let invalid = Answer::Refused(Sense::new(5, 0x24, 0));
        let data = match command {
            Command::Inquiry { .. } => inner.inquiry.get(&self.1).cloned(),
            Command::Page { code, .. } => inner.pages.get(&(self.1.clone(), *code)).cloned(),
            Command::PortGroups { .. } if inner.attentions > 0 => {
                inner.attentions -= 1;
                return Ok(Answer::Refused(Sense::new(6, 0x2a, 6)));
            }
            Command::PortGroups { extended: true, .. } if !inner.extended => None,
            Command::PortGroups { .. } => {
                let own = inner.groups_through.get(&self.1);
                Some(own.unwrap_or(&inner.groups).clone())
            }
        };
        let Some(mut data) = data else {
            return Ok(invalid);
        };
        data.truncate(command.room());
        Ok(Answer::Data(data))
    }
}

/// A page 00h that lists these.
pub(super) fn list(codes: &[u8]) -> Vec<u8> {
    let mut page = vec![0, 0, 0, u8::try_from(codes.len()).unwrap()];
    page.extend(codes);
    page
}

/// Two port groups of one port each, in these states.
pub(super) fn groups(states: [u8; 2]) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 24];
    for (id, state) in (1..).zip(states) {
        data.extend([state, 0x0f, 0, id, 0, 2, 0, 1, 0, 0, 0, id]);
    }
    data
}
