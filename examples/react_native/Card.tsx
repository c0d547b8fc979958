/** One app: its answer, highlighted; buttons that say what is right; and teaching. */
import type { Answer, Entity, Example, Runtime } from "onetrunk-web";
import { useState } from "react";
import { Pressable, StyleSheet, Text, View } from "react-native";

import { keep } from "./bundle";
import { ofEntities, pieces, withLabel, withType } from "./corrections";

interface Props {
  runtime: Runtime;
  name: string;
  text: string;
  answer: Answer;
  /** The characters that are selected in the text. */
  selection: { start: number; end: number };
  /** Texts whose answers stay as they are when the app is taught. */
  stay: string[];
  /** Called when the app has learnt. */
  taught: () => void;
}

export function Card({ runtime, name, text, answer, selection, stay, taught }: Props) {
  const [examples, setExamples] = useState(new Map<string, Example>());
  const [said, setSaid] = useState("");
  const app = runtime.describe(name);

  const note = (example: Example) => {
    setExamples(new Map(examples).set(example.text, example));
    setSaid("");
  };
  const teach = async () => {
    setSaid("Learning …");
    try {
      const others = stay.filter((one) => !examples.has(one));
      // An app that finds entities learns from every word of its examples.
      const options = app.perWord ? { from: name } : { from: name, stay: others };
      const { rows, seconds } = await runtime.teach(name, app.decoder, [...examples.values()], options);
      await keep(runtime, name);
      setSaid(`Learnt from ${rows} in ${seconds} s`);
      taught();
    } catch (reason) {
      setSaid(`${reason}`);
    }
  };
  const type = (label: string, entities: Entity[]) => {
    const { start, end } = selection;
    if (start === end) setSaid(`First select, above, what is ${label}`);
    else note(withType(text, entities, start, end, label));
  };

  return (
    <View style={styles.card}>
      <Text style={styles.name}>{name}</Text>
      {"entities" in answer ? (
        <>
          <Text style={styles.answer}>
            {pieces(text, answer.entities).map((piece) => {
              if (!piece.entities.length) return piece.text;
              const rest = answer.entities.filter((entity) => !piece.entities.includes(entity));
              return (
                <Text key={piece.start} style={styles.entity} onPress={() => note(ofEntities(text, rest))}>
                  {piece.text}
                  <Text style={styles.small}> {piece.entities.map((entity) => entity.type).join(", ")} </Text>
                </Text>
              );
            })}
          </Text>
          <Text style={styles.small}>Wrong? Tap it. Missing? Select it above, and say what it is:</Text>
          <View style={styles.row}>
            {app.labels.map((label) => (
              <Button key={label} title={label} press={() => type(label, answer.entities)} />
            ))}
          </View>
        </>
      ) : null}
      {"labels" in answer ? (
        <View style={styles.row}>
          {app.labels.map((label) => (
            <Button
              key={label}
              title={`${label} ${Math.round(100 * answer.probabilities[label])} %`}
              chosen={answer.labels.includes(label)}
              press={() => note(withLabel(app, text, answer, label))}
            />
          ))}
        </View>
      ) : null}
      {"value" in answer ? <Text style={styles.answer}>{answer.value.toFixed(1)}</Text> : null}
      {examples.size ? <Button title={`Teach (${examples.size})`} press={teach} chosen /> : null}
      {said ? <Text style={styles.small}>{said}</Text> : null}
    </View>
  );
}

function Button({ title, press, chosen = false }: { title: string; press: () => void; chosen?: boolean }) {
  return (
    <Pressable accessibilityRole="button" style={[styles.button, chosen && styles.chosen]} onPress={press}>
      <Text>{title}</Text>
    </Pressable>
  );
}

const styles = StyleSheet.create({
  card: { borderTopWidth: 1, borderColor: "lightgray", paddingVertical: 12, gap: 8 },
  name: { fontWeight: "bold" },
  answer: { fontSize: 18, lineHeight: 28 },
  entity: { backgroundColor: "#ffe08a" },
  small: { fontSize: 12, color: "dimgray" },
  row: { flexDirection: "row", flexWrap: "wrap", gap: 8 },
  button: { borderWidth: 1, borderColor: "gray", borderRadius: 16, paddingHorizontal: 12, paddingVertical: 6 },
  chosen: { backgroundColor: "#cfe8ff", borderColor: "steelblue" },
});
