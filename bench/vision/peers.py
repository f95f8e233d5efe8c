"""Other projects' face trackers on the same pictures: a child process of bench/vision/chain.py.

It reads lines `NAME COUNT` and answers each with CPU milliseconds per picture, over all its threads, and the share of
pictures with a face. The command line names the file with the pictures, an array of shape (n, 480, 640, 3), RGB. It
runs in its own environment and imports nothing of the project, since MediaPipe needs other versions of its packages.
"""

from __future__ import annotations

import sys
import time

import cv2
import mediapipe
import numpy as np


def face_mesh(faces, irises):
    """MediaPipe's tracker. If `faces` exceeds the faces present, it looks for more on every picture."""
    made = mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=faces, refine_landmarks=irises)

    def read(picture):
        return made.process(picture).multi_face_landmarks is not None

    return read


def haar():
    """OpenCV's cascade of frontal faces, as its tutorial calls it."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

    def read(picture):
        return len(cascade.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 1.1, 5, minSize=(40, 40))) == 1

    return read


PEERS = {
    "facemesh": lambda: face_mesh(1, irises=False),
    "facemesh-irises": lambda: face_mesh(1, irises=True),
    "facemesh-irises-count": lambda: face_mesh(2, irises=True),
    "haar": haar,
}


def main():
    pictures = np.load(sys.argv[1])
    cv2.setNumThreads(1)
    readers = {}
    for line in sys.stdin:
        name, count = line.split()
        if name not in readers:
            readers[name] = PEERS[name]()
            for picture in pictures[:3]:
                readers[name](picture)
        began, found = time.process_time(), 0
        for picture in pictures[: int(count)]:
            found += bool(readers[name](picture))
        spent = time.process_time() - began
        print(1000 * spent / int(count), found / int(count), flush=True)


if __name__ == "__main__":
    main()
