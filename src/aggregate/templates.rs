//! Templates of log messages by Drain: a tree of fixed depth leads to a few groups, of which the most similar takes the
//! message, or the message begins a new one.
//!
//! P. He, J. Zhu, Z. Zheng and M. R. Lyu, "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017,
//! <https://doi.org/10.1109/ICWS.2017.13>, with the rule of its best-known implementation, drain3 (PyPI, 0.9.11), that of
//! equally similar groups the one with most wildcards wins. On the 577 masked messages of the 37 services of the Nezha
//! recordings, in sorted order, drain3 finds the same 255 templates, letter by letter.
//!
//! Unlike there, the messages are all known, so they are worked in sorted order and the result does not depend on theirs;
//! and a leaf holds a bounded number of groups, so that the cost is linear whatever the messages are. The crates that
//! implement Drain (logdrain, drain3, drain-rs, drainrs) work online, in the order of the messages.

use rustc_hash::FxHashMap;

/// What stands where messages of one template differ.
pub(super) const WILD: &str = "<*>";

/// Parameters of Drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters {
    /// Levels of the tree: root, number of tokens, `depth - 3` leading tokens, groups.
    pub(super) depth: usize,
    /// Share of tokens that must be equal for a message to join a group.
    pub(super) similarity: f64,
    /// Most children of an inner node; further tokens share one child.
    pub(super) max_children: usize,
    /// Most groups of a leaf; further messages join the most similar one, however little that is.
    pub(super) max_groups: usize,
}

impl Default for Parameters {
    /// Depth and similarity are drain3's (the paper varies them between data sets: 3 to 6, and 0.3 to 0.7 around 0.4),
    /// 100 children the paper's.
    fn default() -> Self {
        Self { depth: 4, similarity: 0.4, max_children: 100, max_groups: 200 }
    }
}

/// The templates of messages, and which message belongs to which: indices in the order of `messages`.
///
/// Deterministic in the order of `messages`: sort them.
pub(super) fn mine(messages: &[&str], parameters: &Parameters) -> (Vec<String>, Vec<u32>) {
    let mut miner = Miner::new(*parameters);
    let groups = messages.iter().map(|message| miner.add(message)).collect();
    (miner.templates(), groups)
}

/// The tree while messages are added.
struct Miner<'m> {
    parameters: Parameters,
    /// Tokens in order of first appearance; 0 is the wildcard.
    tokens: FxHashMap<&'m str, u32>,
    names: Vec<&'m str>,
    /// Children by node and token; the root's are by number of tokens.
    children: FxHashMap<(u32, u32), u32>,
    roots: FxHashMap<usize, u32>,
    nodes: Vec<Node>,
    groups: Vec<Vec<u32>>,
}

#[derive(Default)]
struct Node {
    n_children: usize,
    /// Groups of a leaf, the oldest first.
    groups: Vec<u32>,
}

const WILD_TOKEN: u32 = 0;

impl<'m> Miner<'m> {
    fn new(parameters: Parameters) -> Self {
        let tokens = FxHashMap::from_iter([(WILD, WILD_TOKEN)]);
        let (children, roots) = (FxHashMap::default(), FxHashMap::default());
        Self { parameters, tokens, names: vec![WILD], children, roots, nodes: Vec::new(), groups: Vec::new() }
    }

    /// The group of a message, which may change the group's template.
    fn add(&mut self, message: &'m str) -> u32 {
        let tokens: Vec<u32> = message.split_whitespace().map(|token| self.token(token)).collect();
        if let Some(leaf) = self.search(&tokens)
            && let Some(group) = self.most_similar(leaf, &tokens)
        {
            let template = &mut self.groups[group as usize];
            for (known, new) in template.iter_mut().zip(&tokens) {
                if known != new {
                    *known = WILD_TOKEN;
                }
            }
            return group;
        }
        let group = index(self.groups.len());
        let leaf = self.leaf(&tokens);
        self.nodes[leaf as usize].groups.push(group);
        self.groups.push(tokens);
        group
    }

    fn templates(&self) -> Vec<String> {
        let text = |group: &Vec<u32>| -> String {
            let tokens: Vec<&str> = group.iter().map(|token| self.names[*token as usize]).collect();
            tokens.join(" ")
        };
        self.groups.iter().map(text).collect()
    }

    fn token(&mut self, token: &'m str) -> u32 {
        *self.tokens.entry(token).or_insert_with(|| {
            self.names.push(token);
            index(self.names.len() - 1)
        })
    }

    /// The tokens that lead to the leaf.
    fn leading<'t>(&self, tokens: &'t [u32]) -> &'t [u32] {
        // Of `depth` levels one is the root's, one the number of tokens', one the groups'; the last token never leads.
        let levels = self.parameters.depth.saturating_sub(3).min(tokens.len().saturating_sub(1));
        &tokens[..levels]
    }

    fn search(&self, tokens: &[u32]) -> Option<u32> {
        let mut node = *self.roots.get(&tokens.len())?;
        for &token in self.leading(tokens) {
            let child = self.children.get(&(node, token)).or_else(|| self.children.get(&(node, WILD_TOKEN)));
            node = *child?;
        }
        Some(node)
    }

    /// The leaf for a new group; makes the way to it.
    fn leaf(&mut self, tokens: &[u32]) -> u32 {
        let mut node = match self.roots.get(&tokens.len()) {
            Some(&root) => root,
            None => {
                let root = self.new_node();
                self.roots.insert(tokens.len(), root);
                root
            }
        };
        for &token in self.leading(tokens) {
            node = match self.children.get(&(node, token)) {
                Some(&child) => child,
                None => self.child(node, token),
            };
        }
        node
    }

    /// A child for a token that has none: its own while there is room (one place is the wildcard's) and it holds no
    /// digit, else the wildcard's.
    fn child(&mut self, parent: u32, token: u32) -> u32 {
        let has_digit = self.names[token as usize].contains(|c: char| c.is_ascii_digit());
        let has_wild = self.children.contains_key(&(parent, WILD_TOKEN));
        let taken = self.nodes[parent as usize].n_children + usize::from(!has_wild);
        let key = if has_digit || taken >= self.parameters.max_children { WILD_TOKEN } else { token };
        if let Some(&child) = self.children.get(&(parent, key)) {
            return child;
        }
        let child = self.new_node();
        self.nodes[parent as usize].n_children += 1;
        self.children.insert((parent, key), child);
        child
    }

    fn new_node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        index(self.nodes.len() - 1)
    }

    /// The group of a leaf that has most tokens in common with the message, of equals that with most wildcards, then the
    /// oldest; `None` if none has enough and there is room for another.
    fn most_similar(&self, leaf: u32, tokens: &[u32]) -> Option<u32> {
        let groups = &self.nodes[leaf as usize].groups;
        let mut best: Option<((usize, usize), u32)> = None;
        for &group in groups {
            let template = &self.groups[group as usize];
            let wild = template.iter().filter(|token| **token == WILD_TOKEN).count();
            let equal =
                template.iter().zip(tokens).filter(|(known, new)| known == new && **known != WILD_TOKEN).count();
            if best.is_none_or(|(known, _)| (equal, wild) > known) {
                best = Some(((equal, wild), group));
            }
        }
        let ((equal, _), group) = best?;
        // The empty message is like itself.
        let share = if tokens.is_empty() { 1.0 } else { equal as f64 / tokens.len() as f64 };
        (share >= self.parameters.similarity || groups.len() >= self.parameters.max_groups).then_some(group)
    }
}

fn index(position: usize) -> u32 {
    u32::try_from(position).expect("fewer than four billion tokens and groups fit in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Templates in the order of their first message, with the number of messages.
    fn check(messages: &[&str], parameters: &Parameters, expected: &[(usize, &str)]) {
        let (templates, groups) = mine(messages, parameters);
        let size = |group: usize| groups.iter().filter(|g| **g as usize == group).count();
        let actual: Vec<(usize, &str)> = templates.iter().enumerate().map(|(i, t)| (size(i), t.as_str())).collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn the_worked_example_of_drain3() {
        // README of drain3 (there with masks of its own for addresses and hexadecimal numbers).
        let messages = [
            "connected to 10.0.0.1",
            "connected to 192.168.0.1",
            "Hex number 0xDEADBEAF",
            "user davidoh logged in",
            "user eranr logged in",
        ];
        let expected = [(2, "connected to <*>"), (1, "Hex number 0xDEADBEAF"), (2, "user <*> logged in")];
        check(&messages, &Parameters::default(), &expected);
    }

    /// Lines of a real sshd that drain3's own tests use.
    const SSHD: [&str; 6] = [
        "Dec 10 07:07:38 LabSZ sshd[24206]: input_userauth_request: invalid user test9 [preauth]",
        "Dec 10 07:08:28 LabSZ sshd[24208]: input_userauth_request: invalid user webmaster [preauth]",
        "Dec 10 09:12:32 LabSZ sshd[24490]: Failed password for invalid user ftpuser from 0.0.0.0 port 62891 ssh2",
        "Dec 10 09:12:35 LabSZ sshd[24492]: Failed password for invalid user pi from 0.0.0.0 port 49289 ssh2",
        "Dec 10 09:12:44 LabSZ sshd[24501]: Failed password for invalid user ftpuser from 0.0.0.0 port 60836 ssh2",
        "Dec 10 07:28:03 LabSZ sshd[24245]: input_userauth_request: invalid user pgadmin [preauth]",
    ];

    #[test]
    fn the_tests_of_drain3_at_similarity_0_4() {
        // tests/test_drain.py, test_add_log_message: the templates after the last line.
        let expected = [
            (3, "Dec 10 <*> LabSZ <*> input_userauth_request: invalid user <*> [preauth]"),
            (3, "Dec 10 <*> LabSZ <*> Failed password for invalid user <*> from 0.0.0.0 port <*> ssh2"),
        ];
        check(&SSHD, &Parameters::default(), &expected);
    }

    #[test]
    fn the_tests_of_drain3_at_similarity_0_75() {
        // tests/test_drain.py, test_add_log_message_sim_75.
        let expected = [
            (1, SSHD[0]),
            (1, SSHD[1]),
            (3, "Dec 10 <*> LabSZ <*> Failed password for invalid user <*> from 0.0.0.0 port <*> ssh2"),
            (1, SSHD[5]),
        ];
        check(&SSHD, &Parameters { similarity: 0.75, ..Parameters::default() }, &expected);
    }

    #[test]
    fn messages_shorter_than_the_tree_are_told_apart_and_the_empty_one_is_one() {
        // tests/test_drain.py, test_add_shorter_than_depth_message.
        check(&["word", "word", "otherword"], &Parameters::default(), &[(2, "word"), (1, "otherword")]);
        check(&["", "", " "], &Parameters::default(), &[(3, "")]);
    }

    #[test]
    fn a_leaf_never_holds_more_groups_than_allowed() {
        let messages: Vec<String> = (0..500).map(|i| format!("go w{i}x y{i}x z{i}x v{i}x")).collect();
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        let (templates, groups) = mine(&messages, &Parameters { similarity: 0.5, ..Parameters::default() });
        assert_eq!(templates.len(), Parameters::default().max_groups);
        assert_eq!(groups.len(), 500);
    }

    #[test]
    fn an_inner_node_never_has_more_children_than_allowed() {
        let words: Vec<String> =
            (0..500_u32).map(|i| char::from_u32(0x4e00 + i).into_iter().chain(" a b".chars()).collect()).collect();
        let messages: Vec<&str> = words.iter().map(String::as_str).collect();
        let (templates, _) = mine(&messages, &Parameters::default());
        // 99 of their own, the rest together.
        assert_eq!((templates.len(), templates.last().map(String::as_str)), (100, Some("<*> a b")));
    }
}
