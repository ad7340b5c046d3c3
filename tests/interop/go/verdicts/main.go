// Command verdicts tells what libraries that we did not write make of the same bytes, to compare with what ours make.
//
// It reads one JSON request a line and writes one JSON answer a line. Bytes travel in hex, sizes in decimal, so that
// nothing is lost or spelled anew on the way. "op" is one of
//
//	ed25519      key, message, signature           the standard library
//	tree         leaves (hashes)                   all roots, inclusion and consistency proofs of transparency-dev/merkle
//	reference    -                                 the leaves, roots and proofs of the Certificate Transparency tests
//	inclusion    leaf, index, size, proof, root    golang.org/x/mod/sumdb/tlog, up to 2^62, and transparency-dev/merkle
//	consistency  old, old_root, new, new_root, proof    the same two
//	note         note, keys                        golang.org/x/mod/sumdb/note, with cosignatures of transparency-dev/formats
//	checkpoint   text                              filippo.io/torchwood and transparency-dev/formats
//	key          key                               x/mod's note, and cosignatures of transparency-dev/formats
//	policy       policy, note                      transparency-dev/formats
//	proof        text                              transparency-dev/formats
//	tile         old (level), index, size (width)  filippo.io/torchwood: where it lies
//	bundle       text                              filippo.io/torchwood: the entries in it
package main

import (
	"bufio"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"filippo.io/torchwood"
	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	f_proof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const lineBytesMax = 1 << 24

// Above this size tlog's search for the largest power of two below it never ends.
const tlogSizeMax = 1 << 62

type request struct {
	Op        string   `json:"op"`
	Key       string   `json:"key"`
	Message   string   `json:"message"`
	Signature string   `json:"signature"`
	Leaf      string   `json:"leaf"`
	Leaves    []string `json:"leaves"`
	Index     string   `json:"index"`
	Size      string   `json:"size"`
	Root      string   `json:"root"`
	Old       string   `json:"old"`
	OldRoot   string   `json:"old_root"`
	New       string   `json:"new"`
	NewRoot   string   `json:"new_root"`
	Proof     []string `json:"proof"`
	Note      string   `json:"note"`
	Keys      []string `json:"keys"`
	Text      string   `json:"text"`
	Policy    string   `json:"policy"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 0, 1<<16), lineBytesMax)
	answers := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(answers)
	for lines.Scan() {
		var asked request
		err := json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			var answer any
			if answer, err = judge(asked); err == nil {
				err = encoder.Encode(answer)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := errors.Join(lines.Err(), answers.Flush()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judge(asked request) (any, error) {
	switch asked.Op {
	case "ed25519":
		key := raw(asked.Key)
		accepted := len(key) == ed25519.PublicKeySize && ed25519.Verify(key, raw(asked.Message), raw(asked.Signature))
		return map[string]bool{"go": accepted}, nil
	case "tree":
		tree := testonly.New(rfc6962.DefaultHasher)
		tree.Append(raws(asked.Leaves)...)
		return grown(tree)
	case "reference":
		tree := testonly.New(rfc6962.DefaultHasher)
		tree.AppendData(testonly.LeafInputs()...)
		found, err := grown(tree)
		if err == nil {
			found["entries"], found["roots"] = texts(testonly.LeafInputs()), texts(testonly.RootHashes())
		}
		return found, err
	case "inclusion":
		return inclusion(asked), nil
	case "consistency":
		return consistency(asked), nil
	case "note":
		return opened(asked), nil
	case "checkpoint":
		return checkpoint(raw(asked.Text)), nil
	case "key":
		_, signs := note.NewVerifier(string(raw(asked.Key)))
		_, cosigns := f_note.NewVerifierForCosignatureV1(string(raw(asked.Key)))
		return map[string]bool{"note": signs == nil, "cosignature": cosigns == nil}, nil
	case "policy":
		policy, err := witness.ParsePolicy(raw(asked.Policy))
		return map[string]bool{"parsed": err == nil, "satisfied": err == nil && policy.Satisfied(raw(asked.Note))}, nil
	case "proof":
		return proofText(raw(asked.Text)), nil
	case "tile":
		level, err1 := strconv.Atoi(asked.Old)
		number, err2 := strconv.ParseInt(asked.Index, 10, 64)
		width, err3 := strconv.Atoi(asked.Size)
		path := torchwood.TilePath(tlog.Tile{H: torchwood.TileHeight, L: level, N: number, W: width})
		return map[string]string{"path": path}, errors.Join(err1, err2, err3)
	case "bundle":
		return entries(raw(asked.Text)), nil
	}
	return nil, fmt.Errorf("there is no op %q", asked.Op)
}

// grown returns roots by size, inclusion proofs by size and index, consistency proofs by new and old size.
func grown(tree *testonly.Tree) (map[string]any, error) {
	var roots []string
	var included, extended [][][]string
	for size := range tree.Size() + 1 {
		roots = append(roots, hex.EncodeToString(tree.HashAt(size)))
		var inclusions, consistencies [][]string
		for index := range size {
			path, err := tree.InclusionProof(index, size)
			if err != nil {
				return nil, err
			}
			inclusions = append(inclusions, texts(path))
		}
		for old := range size + 1 {
			path, err := tree.ConsistencyProof(old, size)
			if err != nil {
				return nil, err
			}
			consistencies = append(consistencies, texts(path))
		}
		included, extended = append(included, inclusions), append(extended, consistencies)
	}
	return map[string]any{"roots": roots, "inclusion": included, "consistency": extended}, nil
}

func inclusion(asked request) map[string]bool {
	index, err1 := strconv.ParseUint(asked.Index, 10, 64)
	size, err2 := strconv.ParseUint(asked.Size, 10, 64)
	if err1 != nil || err2 != nil {
		return map[string]bool{"merkle": false, "tlog": false}
	}
	path, leaf, root := raws(asked.Proof), raw(asked.Leaf), raw(asked.Root)
	merkle := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf, path, root)
	hashes, fit := sized(append([][]byte{leaf, root}, path...))
	fit = fit && size <= tlogSizeMax && index < size && tlog.CheckRecord(hashes[2:], int64(size), hashes[1], int64(index), hashes[0]) == nil
	return map[string]bool{"merkle": merkle == nil, "tlog": fit}
}

func consistency(asked request) map[string]bool {
	older, err1 := strconv.ParseUint(asked.Old, 10, 64)
	newer, err2 := strconv.ParseUint(asked.New, 10, 64)
	if err1 != nil || err2 != nil {
		return map[string]bool{"merkle": false, "tlog": false}
	}
	path, olderRoot, newerRoot := raws(asked.Proof), raw(asked.OldRoot), raw(asked.NewRoot)
	merkle := proof.VerifyConsistency(rfc6962.DefaultHasher, older, newer, path, olderRoot, newerRoot)
	hashes, fit := sized(append([][]byte{olderRoot, newerRoot}, path...))
	fit = fit && newer <= tlogSizeMax && older <= newer && tlog.CheckTree(hashes[2:], int64(newer), hashes[1], int64(older), hashes[0]) == nil
	return map[string]bool{"merkle": merkle == nil, "tlog": fit}
}

// opened returns the text, and whose signatures hold; "accepted" is false when the note is refused.
func opened(asked request) map[string]any {
	var verifiers []note.Verifier
	for _, key := range asked.Keys {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			if verifier, err = f_note.NewVerifierForCosignatureV1(key); err != nil {
				return map[string]any{"accepted": false}
			}
		}
		verifiers = append(verifiers, verifier)
	}
	found, err := note.Open(raw(asked.Note), note.VerifierList(verifiers...))
	if err != nil {
		return map[string]any{"accepted": false}
	}
	names := []string{}
	for _, signature := range found.Sigs {
		names = append(names, signature.Name)
	}
	return map[string]any{"accepted": true, "text": hex.EncodeToString([]byte(found.Text)), "names": names}
}

func checkpoint(text []byte) map[string]any {
	answer := map[string]any{"torchwood": nil, "formats": nil}
	if found, err := torchwood.ParseCheckpoint(string(text)); err == nil {
		answer["torchwood"] = []string{found.Origin, strconv.FormatInt(found.N, 10), hex.EncodeToString(found.Hash[:]), found.Extension}
	}
	var found f_log.Checkpoint
	if rest, err := found.Unmarshal(text); err == nil {
		answer["formats"] = []string{found.Origin, strconv.FormatUint(found.Size, 10), hex.EncodeToString(found.Hash), string(rest)}
	}
	return answer
}

func proofText(text []byte) map[string]any {
	var found f_proof.TLogProof
	if err := found.Unmarshal(text); err != nil {
		return map[string]any{"accepted": false}
	}
	hashes := []string{}
	for _, hash := range found.Hashes {
		hashes = append(hashes, hex.EncodeToString(hash[:]))
	}
	return map[string]any{
		"accepted": true, "index": strconv.FormatUint(found.Index, 10), "hashes": hashes,
		"extra": hex.EncodeToString(found.ExtraData), "note": hex.EncodeToString(found.Checkpoint),
	}
}

func entries(bundle []byte) map[string]any {
	found := [][]byte{}
	for len(bundle) > 0 {
		entry, rest, err := torchwood.ReadTileEntry(bundle)
		if err != nil {
			return map[string]any{"accepted": false}
		}
		found, bundle = append(found, entry), rest
	}
	return map[string]any{"accepted": true, "entries": texts(found)}
}

func raw(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err) // the other side is our own test
	}
	return data
}

func raws(all []string) [][]byte {
	var found [][]byte
	for _, one := range all {
		found = append(found, raw(one))
	}
	return found
}

func texts(all [][]byte) []string {
	found := []string{}
	for _, one := range all {
		found = append(found, hex.EncodeToString(one))
	}
	return found
}

// sized returns them as hashes of 32 bytes; false unless all are.
func sized(all [][]byte) ([]tlog.Hash, bool) {
	var found []tlog.Hash
	for _, one := range all {
		if len(one) != tlog.HashSize {
			return make([]tlog.Hash, len(all)), false
		}
		found = append(found, tlog.Hash(one))
	}
	return found, true
}
