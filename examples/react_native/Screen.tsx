/** One screen: a text, the answers of all apps, and what was wrong. */
import type { Prediction, Runtime } from "onetrunk-web";
import { useCallback, useEffect, useRef, useState } from "react";
import { ScrollView, StyleSheet, Text, TextInput } from "react-native";

import { open } from "./bundle";
import { Card } from "./Card";

const FIRST = "is Tom free for lunch tomorrow at the old mill?";
const STAY = 20; // of so many earlier texts, answers stay when an app is taught

export function Screen() {
  const [runtime, setRuntime] = useState<Runtime>();
  const [text, setText] = useState(FIRST);
  const [selection, setSelection] = useState({ start: 0, end: 0 });
  const [prediction, setPrediction] = useState<Prediction>();
  const [error, setError] = useState("");
  const [refused, setRefused] = useState("");
  const earlier = useRef<string[]>([]);

  useEffect(() => {
    open().then(
      (opened) => {
        setRuntime(opened.runtime);
        setRefused(opened.refused.join("\n"));
      },
      (reason) => setError(`${reason}`),
    );
  }, []);

  const ask = useCallback(async () => {
    if (!runtime) return;
    try {
      setPrediction(await runtime.predict(text));
      earlier.current = [...new Set([text, ...earlier.current])].slice(0, STAY);
      setError("");
    } catch (reason) {
      setError(`${reason}`);
    }
  }, [runtime, text]);

  useEffect(() => {
    const timer = setTimeout(ask, 150); // after the last key
    return () => clearTimeout(timer);
  }, [ask]);

  return (
    <ScrollView style={styles.screen} keyboardShouldPersistTaps="handled">
      <TextInput
        style={styles.text}
        accessibilityLabel="Text"
        multiline
        value={text}
        onChangeText={setText}
        onSelectionChange={({ nativeEvent }) => setSelection(nativeEvent.selection)}
      />
      {error || refused ? <Text style={styles.error}>{error || refused}</Text> : null}
      {!runtime && !error ? <Text>The bundle is being opened …</Text> : null}
      {runtime && prediction
        ? runtime.names.map((name) => (
            <Card
              key={name}
              runtime={runtime}
              name={name}
              text={prediction.text}
              answer={prediction.apps[name]}
              selection={selection}
              stay={earlier.current}
              taught={ask}
            />
          ))
        : null}
    </ScrollView>
  );
}

const styles = StyleSheet.create({
  screen: { padding: 16, paddingTop: 56, backgroundColor: "white" },
  text: { borderWidth: 1, borderColor: "gray", borderRadius: 8, padding: 12, minHeight: 72, fontSize: 18 },
  error: { color: "darkred", paddingVertical: 8 },
});
