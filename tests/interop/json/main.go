// Command json tells how Go's encoding/json reads.
//
//	json folds      every sign that is read as an ASCII letter of a field's name, and the letter
//	json documents  descriptors made by chance, always the same ones, and what Go reads: one of each in a line
//
// Their output is kept beside the tests of crates/registry-types, which read the same.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"unicode"
)

// The fields are those of image-spec's Go types.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Data         []byte            `json:"data,omitempty"`
	Platform     *platform         `json:"platform,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

type platform struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version,omitempty"`
	OSFeatures   []string `json:"os.features,omitempty"`
	Variant      string   `json:"variant,omitempty"`
}

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "folds":
		folds()
	case len(os.Args) == 2 && os.Args[1] == "documents":
		documents()
	default:
		fmt.Fprintln(os.Stderr, "usage: json folds|documents")
		os.Exit(2)
	}
}

// folds asks the decoder itself, by a struct with a field for each letter.
func folds() {
	var fields []reflect.StructField
	for letter := 'a'; letter <= 'z'; letter++ {
		tag := reflect.StructTag(fmt.Sprintf("json:%q", string(letter)))
		fields = append(fields, reflect.StructField{Name: strings.ToUpper(string(letter)), Type: reflect.TypeFor[int](), Tag: tag})
	}
	letters := reflect.StructOf(fields)
	for sign := rune(0); sign <= unicode.MaxRune; sign++ {
		if sign >= 0xd800 && sign <= 0xdfff {
			continue
		}
		name, err := json.Marshal(string(sign))
		check(err)
		value := reflect.New(letters)
		check(json.Unmarshal([]byte("{"+string(name)+":1}"), value.Interface()))
		for index := range letters.NumField() {
			if value.Elem().Field(index).Int() == 1 {
				fmt.Printf("%x %c\n", sign, 'a'+index)
			}
		}
	}
}

const documentCount = 250

func documents() {
	chance := rand.New(rand.NewPCG(1, 2))
	for range documentCount {
		document := object(chance, fields, 3)
		var read *descriptor
		if err := json.Unmarshal([]byte(document), &read); err != nil {
			read = nil
		}
		line, err := json.Marshal(struct {
			Document string      `json:"document"`
			Read     *descriptor `json:"read"`
		}{document, read})
		check(err)
		fmt.Println(string(line))
	}
}

// A field and its possible values.
type field struct {
	name   string
	values []string
}

var (
	digests = []string{
		`"sha256:` + strings.Repeat("a", 64) + `"`, `"sha256:` + strings.Repeat("b", 64) + `"`,
	}
	fields = []field{
		{"mediaType", []string{`"a/b"`, `"c/d"`}},
		{"digest", digests},
		{"size", []string{"1", "2"}},
		{"urls", []string{`["https://a"]`, `["https://b","https://c"]`, "[]", "null"}},
		{"annotations", []string{`{"a":"b"}`, `{"A":"c","a":"d"}`, `{"a":"b","a":"c"}`, `{"k":"1","\u212a":"2"}`, "null"}},
		{"artifactType", []string{`"e/f"`, `""`, "null"}},
		{"platform", nil},
		{"other", []string{`{"digest":1,"Digest":2}`, "[1]", "null"}},
	}
	platformFields = []field{
		{"architecture", []string{`"amd64"`, `"arm64"`, "null"}},
		{"os", []string{`"linux"`, `"windows"`}},
		{"os.version", []string{`"10"`, `"11"`, "null"}},
		{"os.features", []string{`["x"]`, `["y","z"]`, "null"}},
		{"variant", []string{`"v7"`, `"v8"`}},
		{"other", []string{"{}"}},
	}
)

// object has the first fields for certain, others by chance, and now and then one twice or under a name that is like it.
func object(chance *rand.Rand, fields []field, certain int) string {
	var pairs []string
	for index, field := range fields {
		count := 0
		if index < certain || chance.IntN(3) == 0 {
			count = 1
		}
		if chance.IntN(14) == 0 {
			count++
		}
		for range count {
			pairs = append(pairs, name(chance, field.name)+":"+value(chance, field))
		}
	}
	chance.Shuffle(len(pairs), func(one, other int) { pairs[one], pairs[other] = pairs[other], pairs[one] })
	return "{" + strings.Join(pairs, ",") + "}"
}

func value(chance *rand.Rand, field field) string {
	if field.values == nil {
		return object(chance, platformFields, 2)
	}
	return field.values[chance.IntN(len(field.values))]
}

func name(chance *rand.Rand, name string) string {
	switch chance.IntN(18) {
	case 0:
		name = strings.ToUpper(name)
	case 1:
		name = strings.Replace(name, "s", "\u017f", 1)
	case 2:
		// The same name, written with an escape.
		return fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:])
	}
	return `"` + name + `"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
