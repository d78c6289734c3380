use super::*;

#[test]
fn every_turn_of_a_conversation_is_read_up_to_where_an_answer_is_missing() {
    let file = br#"[
            {"conversations": [{"from": "system", "value": "be kind"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}, {"from": "human", "value": "e"}]},
            {"conversations": [{"from": "gpt", "value": "I begin"}, {"from": "human", "value": "f"}, {"from": "human", "value": "g"}]},
            {"conversations": [{"from": "human", "value": " "}]}
        ]"#;
    let said = |conversations: &[Vec<Turn>]| -> Vec<Vec<String>> {
        let turn = |turn: &Turn| {
            let messages: Vec<&str> = turn.messages.iter().map(|it| it.content.as_str()).collect();
            format!(
                "{} > {}",
                messages.join("+"),
                turn.answer.as_deref().unwrap_or("-")
            )
        };
        conversations
            .iter()
            .map(|turns| turns.iter().map(turn).collect())
            .collect()
    };
    assert_eq!(
        said(&share_gpt::conversations(file).unwrap()),
        [vec!["be kind+a > b", "c > d", "e > -"], vec!["f > -"],]
    );
    let lines = br#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}], "outputTokens": 9}
{"prompt": "d"}"#;
    let conversations = json_lines::conversations(lines).unwrap();
    assert_eq!(
        said(&conversations),
        [vec!["a > b", "c > -"], vec!["d > -"]]
    );
    assert_eq!(conversations[0][1].output_tokens, Some(9));
    assert_eq!(share_gpt::conversations(b"[]"), Err(DatasetError::Empty));
}
