// Command interop looks at a Tenuto log the way a stranger does: only with C2SP libraries that we did not write.
//
//	interop keyring SOCKET SEED           hold the Ed25519 key of this seed (hex) behind an ssh-agent socket
//	interop audit LOG KEY [SIZE:ROOT...]  prove every entry, and that the log extends each earlier checkpoint
//	interop ask LOG KEY WITNESS WITNESSKEY OLD  have a witness cosign the log's checkpoint, and verify that it did
//	interop policy FILE NOTE              tell whether a checkpoint satisfies a tlog-policy
//
// LOG and WITNESS are addresses; keys are C2SP verifier keys; roots are base64. What was found is printed as JSON.
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const bodyBytesMax = 1 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "keyring":
		return keyring(args[1], args[2])
	case len(args) >= 3 && args[0] == "audit":
		return audit(args[1], args[2], args[3:])
	case len(args) == 6 && args[0] == "ask":
		return ask(args[1], args[2], args[3], args[4], args[5])
	case len(args) == 3 && args[0] == "policy":
		return policy(args[1], args[2])
	}
	return errors.New("usage: interop keyring|audit|ask|policy ARGUMENTS")
}

// keyring prints the key's fingerprint and serves until the process is ended.
func keyring(socket, seed string) error {
	secret, err := hex.DecodeString(seed)
	if err != nil || len(secret) != ed25519.SeedSize {
		return errors.New("the seed is not 32 bytes in hex")
	}
	private := ed25519.NewKeyFromSeed(secret)
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return err
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	fmt.Println(ssh.FingerprintSHA256(public))
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			agent.ServeAgent(ring, connection)
		}()
	}
}

// reading is a log as a client has it after it verified the newest checkpoint.
type reading struct {
	tiles *torchwood.TileFetcher
	note  []byte
	tree  tlog.Tree
}

func read(address, key string) (*reading, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, err
	}
	tiles, err := torchwood.NewTileFetcher(address)
	if err != nil {
		return nil, err
	}
	signed, err := tiles.ReadEndpoint(context.Background(), "checkpoint")
	if err != nil {
		return nil, err
	}
	found, _, _, err := f_log.ParseCheckpoint(signed, verifier.Name(), verifier)
	if err != nil {
		return nil, err
	}
	tree := tlog.Tree{N: int64(found.Size)}
	copy(tree.Hash[:], found.Hash)
	return &reading{tiles, signed, tree}, nil
}

func (r *reading) hashes() tlog.HashReader {
	return torchwood.TileHashReaderWithContext(context.Background(), r.tree, r.tiles)
}

func audit(address, key string, earlier []string) error {
	log, err := read(address, key)
	if err != nil {
		return err
	}
	client, err := torchwood.NewClient(log.tiles)
	if err != nil {
		return err
	}
	digest := sha256.New()
	for index := range log.tree.N {
		entry, _, err := client.Entry(context.Background(), log.tree, index)
		if err != nil {
			return err
		}
		digest.Write(entry)
	}
	for _, checkpoint := range earlier {
		if err := log.extends(checkpoint); err != nil {
			return err
		}
	}
	return tell(map[string]any{
		"size": log.tree.N, "root": log.tree.Hash.String(), "entries_sha256": hex.EncodeToString(digest.Sum(nil)),
		"extends": len(earlier),
	})
}

func (r *reading) extends(checkpoint string) error {
	digits, encoded, _ := strings.Cut(checkpoint, ":")
	size, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return err
	}
	root, err := tlog.ParseHash(encoded)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(r.tree.N, size, r.hashes())
	if err != nil {
		return fmt.Errorf("from %d entries: %w", size, err)
	}
	if err := tlog.CheckTree(proof, r.tree.N, r.tree.Hash, size, root); err != nil {
		return fmt.Errorf("from %d entries: %w", size, err)
	}
	return nil
}

func ask(address, key, witnessAddress, witnessKey, old string) error {
	log, err := read(address, key)
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(old, 10, 64)
	if err != nil {
		return err
	}
	proof := tlog.TreeProof{}
	if size > 0 {
		if proof, err = tlog.ProveTree(log.tree.N, size, log.hashes()); err != nil {
			return err
		}
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", size)
	for _, hash := range proof {
		fmt.Fprintln(&body, hash)
	}
	fmt.Fprintf(&body, "\n%s", log.note)
	answer, err := http.Post(witnessAddress+"/add-checkpoint", "text/plain", &body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	told, err := io.ReadAll(io.LimitReader(answer.Body, bodyBytesMax))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return tell(map[string]any{"status": answer.StatusCode, "type": answer.Header.Get("Content-Type"), "body": string(told)})
	}
	seconds, err := cosignedAt(append(log.note, told...), witnessKey)
	if err != nil {
		return err
	}
	return tell(map[string]any{"status": answer.StatusCode, "size": log.tree.N, "cosigned_at": seconds})
}

// cosignedAt verifies the note as cosigned by this witness and returns the time that it put under its signature.
func cosignedAt(cosigned []byte, witnessKey string) (int64, error) {
	verifier, err := f_note.NewVerifierForCosignatureV1(witnessKey)
	if err != nil {
		return 0, err
	}
	opened, err := note.Open(cosigned, note.VerifierList(verifier))
	if err != nil {
		return 0, err
	}
	at, err := f_note.CoSigV1Timestamp(opened.Sigs[0])
	return at.Unix(), err
}

func policy(file, noteFile string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	parsed, err := witness.ParsePolicy(text)
	if err != nil {
		return err
	}
	signed, err := os.ReadFile(noteFile)
	if err != nil {
		return err
	}
	return tell(map[string]any{"satisfied": parsed.Satisfied(signed)})
}

func tell(found map[string]any) error {
	return json.NewEncoder(os.Stdout).Encode(found)
}
